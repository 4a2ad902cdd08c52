"""Studies made of outputs that somebody has already: tables, chat logs, and the logs of other tools."""
