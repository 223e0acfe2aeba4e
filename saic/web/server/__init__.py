"""Serves the page and protects it: names, sessions, files, jobs, limits."""
