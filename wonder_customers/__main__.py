"""``python -m wonder_customers``: the command line, where its script is not on the path."""

from wonder_customers.cli import main

if __name__ == "__main__":
    main()
