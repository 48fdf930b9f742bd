"""`python -m pipeline` is `llmos`."""

from pipeline.cli.main import main

if __name__ == "__main__":
    main()
