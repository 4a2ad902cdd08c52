"""evenhand inside other tools, and other tools inside evenhand."""
