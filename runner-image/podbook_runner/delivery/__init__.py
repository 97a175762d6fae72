"""What follows the last cell: results checked, stored, and named in the manifest."""
