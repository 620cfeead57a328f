"""What a run leaves behind: metadata, files, the page, the summary."""
