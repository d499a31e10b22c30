"""Start the command line by ``python -m sentinode``, where the folder of scripts is not on the path."""

from sentinode.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
