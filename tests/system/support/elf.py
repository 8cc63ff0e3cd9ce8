#!/usr/bin/env python3
"""Reads a 32-bit little-endian ELF file: whether a symbol is in it, and how large its sections are.

    elf.py no-symbol FILE PART...   fails if the name of a symbol has one of the parts in it
    elf.py sizes FILE               bytes of code, of constants, and of data
    elf.py zero FILE SYMBOL         fails unless the symbol is where memory is zero at the start, and costs no flash
"""

import struct
import sys
from pathlib import Path

SYMBOL_TABLE = 2
NO_BITS = 8
ALLOCATED = 0x2
EXECUTABLE = 0x4
WRITABLE = 0x1


def string_at(table, offset):
    return table[offset : table.index(b"\0", offset)].decode()


class Elf:
    def __init__(self, path):
        self.bytes = Path(path).read_bytes()
        if self.bytes[:6] != b"\x7fELF\x01\x01":
            sys.exit(f"{path}: not a 32-bit little-endian ELF file")
        start, entry_size, count, names = struct.unpack_from("<I10xHHH", self.bytes, 0x20)
        headers = [struct.unpack_from("<10I", self.bytes, start + index * entry_size) for index in range(count)]
        fields = ("name", "kind", "flags", "address", "offset", "size", "link", "info", "alignment", "entry_size")
        self.sections = [dict(zip(fields, header)) for header in headers]
        section_names = self.content(self.sections[names])
        for section in self.sections:
            section["name"] = string_at(section_names, section["name"])

    def content(self, section):
        return self.bytes[section["offset"] : section["offset"] + section["size"]]

    def symbols(self):
        """The names of the symbols, and their values."""
        for section in self.sections:
            if section["kind"] == SYMBOL_TABLE:
                names = self.content(self.sections[section["link"]])
                for entry in struct.iter_unpack("<IIIBBH", self.content(section)):
                    yield string_at(names, entry[0]), entry[1]

    def size(self, wanted):
        return sum(section["size"] for section in self.sections if section["flags"] & ALLOCATED and wanted(section))


def no_symbol(elf, parts):
    symbols = [name for name, _ in elf.symbols()]
    if not symbols:
        sys.exit("the file has no symbols: nothing is shown by that")
    found = [symbol for symbol in symbols if any(part in symbol for part in parts)]
    if found:
        sys.exit("these should not be there: " + ", ".join(found))


def zero(elf, symbol):
    address = dict(elf.symbols())[symbol]
    section = next(s for s in elf.sections if s["flags"] & ALLOCATED and 0 <= address - s["address"] < s["size"])
    if section["kind"] != NO_BITS:
        sys.exit(f"{symbol} is in {section['name']}: its bytes are in the file, and so in flash")
    print(f"{symbol} is in {section['name']}")


def sizes(elf):
    code = elf.size(lambda section: section["flags"] & EXECUTABLE)
    constants = elf.size(lambda section: not section["flags"] & (EXECUTABLE | WRITABLE))
    data = elf.size(lambda section: section["flags"] & WRITABLE)
    print(f"code {code} bytes, constants {constants} bytes, data {data} bytes")


def main():
    match sys.argv[1:]:
        case ["no-symbol", path, *parts] if parts:
            no_symbol(Elf(path), parts)
        case ["sizes", path]:
            sizes(Elf(path))
        case ["zero", path, symbol]:
            zero(Elf(path), symbol)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
