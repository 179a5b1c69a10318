// A provider whose state is a tree needs one import more than others.
@_exported import FerryPluginKit
@_exported import FerryTree
