// A provider whose state an engine keeps needs one import more than others.
@_exported import FerryEngine
@_exported import FerryTreeKit
