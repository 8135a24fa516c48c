"""Run the command line as ``python -m wonder_customers``."""

from wonder_customers.cli import main

if __name__ == "__main__":
    main()
