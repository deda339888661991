

if _AS_SCRIPT:
    # Tasks need nothing of this file's __main__.
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.exit(main())
