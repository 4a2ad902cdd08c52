"""Labelling a study's responses in a browser, blind to whose they are and to what the judge thought."""
