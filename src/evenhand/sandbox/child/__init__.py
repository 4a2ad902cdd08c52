"""What runs inside the sandbox. Imports the standard library only: nothing else can be read there.

Every program starts an interpreter, so that each import counts: ``typing`` is for the type checker alone.
"""
