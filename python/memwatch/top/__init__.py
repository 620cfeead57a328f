"""The live table of watched processes: `memwatch top`."""
