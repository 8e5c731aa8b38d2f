"""Values and the forms of files; starts no process and opens no repository."""
