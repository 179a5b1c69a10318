/// Every key of a descriptor: one table, from which come the reader and the published JSON Schema.
public enum DescriptorSchema {
  /// What messages call the top level.
  static let place = "the descriptor"

  static let root = Shape.record([
    .key(
      "ferry-descriptor", Shape(.int(minimum: nil, maximum: nil), allowed: [1]), "The version of the descriptor's format: 1.",
      required: true),
    .key("name", .text(), "For people: what the library is called.", required: true),
    .key("version", .text(), "The descriptor's own, in quotes.", required: true),
    .key("vendor", .text(), "Who wrote it.", required: true),
    .key(
      "library", .text(),
      "The shared library that has the functions: a name that the system's loader finds, or a path; a relative one starts at the descriptor.",
      required: true),
    .key("functions", .map(function, keys: namePattern), "The library's functions, by name.", required: true),
    .key("callbacks", .map(callback, keys: namePattern), "Functions that the library calls."),
    .key("calls", .map(oneOff, keys: namePattern), "What `ferry call` and a service's `call:DESCRIPTOR.NAME` do."),
    .key("providers", .list(provider), "What a manifest names under `provider`.", default: []),
  ])

  static let namePattern = "^[A-Za-z_][A-Za-z0-9_-]*$"

  static let function = Shape.record([
    .key("symbol", .text(), "Its name in the library.", words: "the key"),
    .key("library", .text(), "The library that has it.", words: "the descriptor's"),
    .key("arguments", .map(type(NativeType.argumentNames), keys: namePattern), "Types by names, in C's order."),
    .key(
      "variadic", .map(type(NativeType.argumentNames), keys: namePattern),
      "Arguments that C passes in place of `...`: with this key the function is variadic."),
    .key("returns", type(NativeType.resultNames), "The result's type.", default: "void"),
    .key(
      "success", .word(PluginDescriptor.Success.self),
      "How the result says that it worked; `errno`: by leaving errno at 0; `any`: it cannot fail. Required where something is returned."),
    .key("ends", .list(Shape(.int(minimum: nil, maximum: nil)), atLeast: 1), "Results that say that there is no more: they end a `while`."),
    .key(
      "error", .text(), "Where an error's words come from: `errno`, or a call with this one's arguments or `result`.",
      words: "errno with `success: errno`, else the result alone"),
    .key("class", .word(ErrorClass.self), "The class of its errors.", words: "`io`, or what errno says"),
    .key("hint", .text(), "What to do about an error."),
    .key("free", .text(), "The function that lets go of what it returns, or of its first `out pointer`: called when the ability ends."),
  ])

  static let callback = Shape.record([
    .key("arguments", .map(type(NativeType.callbackNames), keys: namePattern), "Types by names, in C's order."),
    .key("returns", type(NativeType.resultNames), "The result's type.", default: "void"),
    .key("steps", steps, "What it does.", required: true),
    .key("result", scalar, "What it returns.", words: "0"),
    .key("failed", scalar, "What it returns once a step has failed or the call was cancelled.", words: "`result`"),
  ])

  static let oneOff = Shape.record([
    .key("summary", .text(), "One line for people."),
    .key("with", .map(type(NativeType.callbackNames), keys: namePattern), "Types by names: the values that a caller must give."),
    .key("steps", steps, "What it does.", required: true),
  ])

  static let provider: Shape = {
    let abilities = ProviderCall.descriptorAbilities.map { Shape.Field.key($0.rawValue, steps, docs[$0] ?? "") }
    return .record(
      [
        .key(
          "id", .text("^[a-z][a-z0-9-]{0,63}$", expect: "an id of a-z, 0-9 and -, a letter first"), "What a manifest names.", required: true
        ),
        .key("summary", .text(), "One line for people.", required: true),
        .key("schema", Shape(.record(.init(fields: [], rest: .any))), "JSON Schema of an item's keys.", required: true),
        .key(
          "state", state,
          "Where the state lies, if it has a place of its own: Ferry then fills it under a private name, gives it its name in activate, and undoes both."
        ),
        .key(
          "keep", .list(.text(namePattern)),
          "Names whose values live as long as the process: a handle that `freeze` opens and `thaw` closes."),
      ] + abilities, noun: "provider")
  }()

  static let state = Shape.record(
    [
      .key("folder", .text(), "The value that has a folder's path: `endpoint.path`."),
      .key("file", .text(), "The value that has a file's path."),
    ], exactlyOne: ["folder", "file"])

  /// The keys of a step that is not a text.
  static let blocks = ["while", "if", "in"]

  private static let steps = Shape.list(.any, expect: "a list of steps")
  private static let scalar = Shape(.any)

  private static func type(_ names: [String]) -> Shape {
    Shape(.text(Shape.Text()), allowed: names.map { .string($0) }, expect: "a type", hint: "types are \(names.joined(separator: ", "))")
  }

  private static let docs: [ProviderCall: String] = [
    .check: "Both sides, read only: whether it can work.",
    .prepare: "Both sides: make what receives, or what tracks.",
    .transfer: "Source: write the state to `channel`.",
    .receive: "Destination: read it from `channel`, whose end of file means that the source's steps have succeeded.",
    .freeze: "Source: from now on nothing changes.",
    .thaw: "Source: undo `freeze`, also where nothing was frozen.",
    .digest: "Both sides: write what the state is, in a form that both ends write alike, to the descriptor `digest`.",
    .activate: "Destination: give it its real name.",
    .deactivate: "Destination: undo `activate`.",
    .discard: "Both sides: undo `prepare`, and remove what was received.",
    .release: "Both sides: let go of what was kept until success.",
    .retire: "Source: remove the state.",
  ]

  /// The JSON Schema of a descriptor. Steps are texts of their own kind, which it does not look into.
  public static func jsonSchema() -> JSONValue {
    root.jsonSchema(
      title: "Ferry plugin descriptor", description: "An existing shared library as a provider. Made from the reader's own table.")
  }
}

extension ProviderCall {
  /// What steps can be given for.
  static let descriptorAbilities: [ProviderCall] = allCases.filter { ![.deposit, .snapshots, .recall].contains($0) }
  /// What Ferry does itself where the state has a place of its own.
  static let placed: [ProviderCall] = [.activate, .deactivate, .discard, .release, .retire]
  /// What a descriptor must say of a state that has none.
  static let unplaced: [ProviderCall] = [
    .check, .prepare, .transfer, .receive, .digest, .activate, .deactivate, .discard, .release, .retire,
  ]
}
