"""What an execution is and how it lives: its document, its states, what is accepted, what an attempt left, the record."""
