

def main(argv=None):
    """Runs the command line. Returns the exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments == ["--version"]:
        print("allcores", VERSION)
        return 0
    print("usage: allcores --version", file=sys.stderr)
    return 2
