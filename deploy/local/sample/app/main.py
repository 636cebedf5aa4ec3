"""The sample's program: says which Python it runs on."""

import platform


def main() -> None:
    print(f"sample on Python {platform.python_version()}")


if __name__ == "__main__":
    main()
