"""The command line: thin commands that parse, call and turn errors into exit codes."""
