"""What ``podbook serve`` puts together: the application, the notebooks folder, the banner."""
