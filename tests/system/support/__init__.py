"""What the system tests share: the programs under test, network namespaces, servers of other projects, skips."""
