"""What we are compared with, each as published and run as a child process of its own."""
