import FerrySystem

extension Receipt {
  /// Writes the receipt as a file for people and programs.
  public func write(to path: String) throws {
    try Files.replace(Files.absolute(path), with: JSONValue.encode(self, pretty: true) + [10])
  }
}
