"""The server of the page: host names, sessions, files, jobs and limits."""
