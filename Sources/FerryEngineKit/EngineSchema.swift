import FerrySystem

/// Members that the schemas of items share whose state an engine keeps: of `$defs` or of `properties`.
public enum EngineSchema {
  /// Which engine, at either end.
  public static let engine = """
    "engine": {"type": "string", "minLength": 1,
     "description": "the engine's socket, unix:///path or tcp://host:port, instead of the one that its own command would use"}
    """
  /// Whose engine, at either end.
  public static let user = """
    "user": {"type": "string", "pattern": "\(Account.namePattern)",
     "description": "the user whose own, rootless engine it is, which takes root; the one as whom Ferry runs unless told"}
    """
  /// Which container, at either end.
  public static let container = """
    "container": {"type": "string", "minLength": 1, "description": "the container's name or id"}
    """
}
