"""How bash, zsh and fish ask what to offer at TAB, and how they are answered.

click's scripts fall short here: bash cuts words at a colon (``best:rmse``), fish ends a value at a
comma, ``--sort=rm`` loses its option, and what bash would run as a command must be quoted before it
is on the user's line. Each shell sends the line up to the cursor, and for each offer gets three
fields: its kind (plain, file or dir), the value, and a help text.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import Any

from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    split_arg_string,
)

_CURSOR = "\x00"
_SAFE = re.compile(r"[\w@%+=:,./-]*")
_RUN_IN_QUOTES = re.compile(r"[\"'$`\\!]")

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' reply kind value
    reply=$(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_WORD="${COMP_WORDS[COMP_CWORD]}" \\
        %(complete_var)s=bash_complete "$1")
    COMPREPLY=()
    while IFS=$'\\t' read -r kind value _; do
        case $kind in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            plain)
                COMPREPLY+=("$value")
                case $value in *[:=]) compopt -o nospace 2>/dev/null ;; esac ;;
        esac
    done <<< "$reply"
}
complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null ||
    complete -F %(complete_func)s %(prog_name)s
"""
_ZSH = """\
#compdef %(prog_name)s
%(complete_func)s() {
    local -a replies names open described
    local reply kind value help
    (( ! $+commands[%(prog_name)s] )) && return 1
    replies=("${(@f)$(env COMP_WORDS="${(j: :)words[1,CURRENT]}" \\
        %(complete_var)s=zsh_complete %(prog_name)s)}")
    for reply in $replies; do
        IFS=$'\\t' read -r kind value help <<< "$reply"
        case $kind in
            dir) compset -P '*='; _path_files -/ ;;
            file) compset -P '*='; _path_files -f ;;
            plain)
                if [[ -n $help ]]; then described+=("${value//:/\\\\:}:$help")
                elif [[ $value == *[:=] ]]; then open+=("$value")
                else names+=("$value"); fi ;;
        esac
    done
    [[ -n $described ]] && _describe -V unsorted described -U
    [[ -n $open ]] && compadd -U -S '' -V unsorted -a open
    [[ -n $names ]] && compadd -U -V unsorted -a names
    return 0
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""
_FISH = """\
function %(complete_func)s
    set -l words (commandline -cp | string collect)
    for reply in (env %(complete_var)s=fish_complete COMP_WORDS=$words %(prog_name)s)
        set -l fields (string split \\t -- $reply)
        switch $fields[1]
            case dir
                __fish_complete_directories $fields[2]
            case file
                __fish_complete_path $fields[2]
            case plain
                printf '%%s\\t%%s\\n' $fields[2] $fields[3]
        end
    end
end
complete --command %(prog_name)s --no-files --keep-order --arguments '(%(complete_func)s)'
"""


class _Shell(ShellComplete):
    """What the shells have in common."""

    def get_completion_args(self) -> tuple[list[str], str]:
        # so that the word at the cursor is there, if only empty
        *words, last = split_arg_string(os.environ["COMP_WORDS"] + _CURSOR)
        return words[1:], last.removesuffix(_CURSOR)

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        option, equals, _ = incomplete.partition("=")
        whole = f"{option}=" if equals and option.startswith("-") else ""  # the word at the cursor
        offers = []
        for item in super().get_completions(args, incomplete):
            head = whole if item.type == "plain" else ""
            if (value := str(item.value)).isprintable():
                offer = f"{head}{value.removeprefix(head)}"
                offers.append(CompletionItem(offer, item.type, item.help))
        return offers

    def format_completion(self, item: CompletionItem[Any]) -> str:
        return f"{item.type}\t{item.value}\t{' '.join((item.help or '').split())}"


class Bash(_Shell):
    """bash replaces what follows the last ``:`` or ``=`` of a word, and quotes nothing."""

    name = "bash"
    source_template = _BASH

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        word = os.environ.get("COMP_WORD", incomplete)  # what bash takes for the word at the cursor
        quoted = word.startswith(("'", '"'))
        whole = quoted or word == incomplete
        cut = 0 if whole else max(incomplete.rfind(":"), incomplete.rfind("=")) + 1
        found = []
        for item in super().get_completions(args, incomplete):
            value = str(item.value)
            if item.type != "plain":
                found.append(item)
            elif not quoted:
                rest = value[cut:] if value.startswith(incomplete[:cut]) else value
                found.append(CompletionItem(rest if _SAFE.fullmatch(rest) else shlex.quote(rest)))
            elif not _RUN_IN_QUOTES.search(value):
                found.append(CompletionItem(value))
        return found


class Zsh(_Shell):
    """zsh quotes by itself."""

    name = "zsh"
    source_template = _ZSH


class Fish(_Shell):
    """fish quotes by itself, too."""

    name = "fish"
    source_template = _FISH


def register() -> None:
    """Have click ask these instead of its own."""
    for shell in (Bash, Zsh, Fish):
        add_completion_class(shell)
