"""What runs inside the sandbox. Imports the standard library only: nothing else can be read there."""
