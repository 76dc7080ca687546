"""Prints its first argument: a program for tests of the campaign."""

import sys

if __name__ == "__main__":
    sys.stdout.write(sys.argv[1] + "\n")
