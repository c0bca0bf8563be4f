"""The whole pipeline on one machine as plain processes, and the commands to use it."""
