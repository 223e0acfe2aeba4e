"""The audio of an evaluation."""
