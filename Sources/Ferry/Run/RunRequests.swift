import FerrySystem

/// What a person asks of a running controller from another terminal: a file each, so that it works whoever runs where.
struct RunRequests: Sendable {
  enum Request: String, Sendable, CaseIterable { case cancel, cutover, proceed }

  private let folder: String

  init(folder: String) { self.folder = "\(folder)/requests" }

  func post(_ request: Request) throws {
    try Files.makeFolder(folder)
    try Files.replace("\(folder)/\(request.rawValue)", with: [])
  }

  func isPosted(_ request: Request) -> Bool { Files.exists("\(folder)/\(request.rawValue)") }

  func clear(_ request: Request) { try? Files.remove("\(folder)/\(request.rawValue)") }

  func clearAll() { try? Files.remove(folder) }
}
