"""``python -m wonder_customers``: the command line without its console script."""

from wonder_customers.cli import main

if __name__ == "__main__":
    main()
