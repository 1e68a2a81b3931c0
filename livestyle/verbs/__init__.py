"""The verbs of the command line, a function each; every one imports its own module inside, so none pays for another."""
