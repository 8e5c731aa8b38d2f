"""The section of an agent's instructions: made of the commands' own help, and no more than that is
touched."""

from __future__ import annotations

from conftest import Project


def test_the_section_is_written_once_and_brought_up_to_date(project: Project) -> None:
    project.write("AGENTS.md", "# Ours\n\nBe kind.\n")
    project.gitexp("agent", "init")
    text = (project.root / "AGENTS.md").read_text()
    assert text.startswith("# Ours\n\nBe kind.\n\n<!-- gitexp:agent -->\n")
    assert "- `gitexp discard [OPTIONS] REF...`: Mark an experiment as discarded" in text
    project.gitexp("agent", "init", "--check")
    project.write("AGENTS.md", text.replace("never directly", "whenever") + "After it.\n")
    assert "out of date" in project.error("agent", "init", "--check", code=1)
    project.gitexp("agent", "init")
    assert (project.root / "AGENTS.md").read_text() == text + "After it.\n"


def test_the_file_that_is_there_gets_it(project: Project) -> None:
    project.write("CLAUDE.md", "Ours\n")
    project.gitexp("agent", "init")
    assert "gitexp:agent" in (project.root / "CLAUDE.md").read_text()
    assert not (project.root / "AGENTS.md").exists()
    project.write("AGENTS.md", b"\xff")
    assert "cannot be read as text" in project.error("agent", "init")
