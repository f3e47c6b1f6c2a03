"""python -m catdog: the commands there are; ``python -m catdog train ...`` runs one."""

from catdog.cli import main

if __name__ == "__main__":
    main()
