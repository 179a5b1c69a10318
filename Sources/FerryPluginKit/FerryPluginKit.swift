// A provider's file needs one import: the header for the exported function, the system layer for commands, files and errors.
@_exported import CFerry
@_exported import FerrySystem
