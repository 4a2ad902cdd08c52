"""evenhand: does a language model treat everyone alike?"""

__version__ = "0.1.0"
