"""The command line: argument parsing and display, no logic."""
