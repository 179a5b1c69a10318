import FerrySystem
import Glibc

/// What the build made, beside the running test bundle.
public enum Products {
  /// The folder of the build's products.
  public static let folder: String = {
    var buffer = [CChar](repeating: 0, count: 4096)
    let length = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    let path = String(decoding: buffer.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return Files.parent(of: path)
  }()

  /// The `ferry` command.
  public static let ferry = "\(folder)/ferry"

  /// The installed tree that `Scripts/stage` lays out, and `Scripts/test` names in FERRY_STAGE.
  public static let stage = Files.absolute(Environment.all["FERRY_STAGE"] ?? "\(repository)/.build/stage")

  /// The repository: the first folder above the products that holds a Package.swift.
  public static let repository: String = {
    var candidate = folder
    while candidate != "/" && !Files.exists("\(candidate)/Package.swift") { candidate = Files.parent(of: candidate) }
    return candidate
  }()
}
