"""A page over a folder of studies: how far they are, what they say, side by side, and labelling."""
