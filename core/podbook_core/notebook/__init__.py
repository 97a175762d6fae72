"""What a notebook is: the file, its contract, the folder it comes from, its published versions."""
