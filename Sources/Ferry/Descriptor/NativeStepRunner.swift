import FerrySystem
import Glibc

/// Runs steps: one for each ability that is called.
final class NativeStepRunner: @unchecked Sendable {
  private let library: NativeBinding
  private let resolve: @Sendable ([String]) throws -> NativeValue
  private let remember: @Sendable (String, NativeValue) throws -> Void
  private let isCancelled: @Sendable () -> Bool
  private let debts = NativeDebts()
  /// Texts and callbacks that a library may hold until the ability ends.
  private var texts: [UnsafeMutablePointer<CChar>] = []
  private var callbacks: [String: NativeCallback] = [:]
  private let keep: Set<String>
  /// What outlives the ability.
  private let kept: NativeDebts

  init(
    _ library: NativeBinding, keep: Set<String>, resolve: @escaping @Sendable ([String]) throws -> NativeValue,
    remember: @escaping @Sendable (String, NativeValue) throws -> Void, isCancelled: @escaping @Sendable () -> Bool,
    kept: NativeDebts = NativeDebts()
  ) {
    self.library = library
    self.keep = keep
    self.resolve = resolve
    self.remember = remember
    self.isCancelled = isCancelled
    self.kept = kept
  }

  deinit { texts.forEach { free($0) } }

  /// Runs all steps and lets go of what they were given, however they end.
  func run(_ steps: [NativeStep], _ frame: NativeStepFrame) throws {
    do { try perform(steps, frame) } catch {
      _ = debts.settleAll()
      throw error
    }
    if let failure = debts.settleAll() { throw failure }
  }

  private func perform(_ steps: [NativeStep], _ frame: NativeStepFrame) throws {
    for step in steps {
      if isCancelled() { throw FerryError(.cancelled, "the call was cancelled") }
      switch step {
      case .call(let call, let into): try assign(self.call(call, into, frame).value, to: into, frame)
      case .assign(let name, false, let value): try assign(self.value(value, frame), to: name, frame)
      case .assign(let name, true, let value):
        guard case .number(let more) = try self.value(value, frame) else { throw FerryError(.internal, "\(name.text) += needs a number") }
        let (sum, isTooMuch) = (frame.count(name.text) ?? 0).addingReportingOverflow(more)
        if isTooMuch { throw FerryError(.internal, "\(name.text) has become too large") }
        try assign(.number(sum), to: name, frame)
      case .loop(let call, let into, let body):
        while true {
          if isCancelled() { throw FerryError(.cancelled, "the call was cancelled") }
          let answer = try self.call(call, into, frame)
          if answer.isEnd { break }
          try assign(answer.value, to: into, frame)
          try perform(body, frame)
        }
      case .when(let value, let body): if try self.value(value, frame).isTrue { try perform(body, frame) }
      case .inside(let folder, let body):
        guard case .text(let path) = try self.value(folder, frame) else { throw FerryError(.invalid, "'in' needs a folder") }
        try Self.inside(path) { try perform(body, frame) }
      }
    }
  }

  /// Nothing else in a descriptor's host uses the process's folder.
  private static func inside(_ path: String, _ body: () throws -> Void) throws {
    let before = try Descriptor.open(".", O_RDONLY | O_DIRECTORY)
    guard chdir(path) == 0 else { throw FerryError(errno: errno, "cannot enter \(path)") }
    defer { _ = fchdir(before.number) }
    try body()
  }

  private func assign(_ value: NativeValue, to name: NativeStep.Name?, _ frame: NativeStepFrame) throws {
    guard let name else { return }
    if name.text.hasPrefix("kv.") { return try remember(String(name.text.dropFirst(3)), value) }
    frame[name.text] = value
  }

  // MARK: Calls

  private func call(_ call: NativeStep.Call, _ into: NativeStep.Name?, _ frame: NativeStepFrame) throws -> (value: NativeValue, isEnd: Bool)
  {
    if call.function.text == NativeStepChecker.buffer, case .value(let size)? = call.arguments.first {
      guard case .number(let count) = try value(size, frame), (0...(1 << 30)).contains(count) else {
        throw FerryError(.invalid, "a buffer can have 0 to 1 GiB")
      }
      return (.buffer(NativeBuffer(capacity: Int(count)), count: Int(count)), false)
    }
    let function = try library.function(call.function.text)
    let spec = function.spec
    var words: [UInt64] = []
    // Where the function puts what it gives: each a word of its own.
    let places = UnsafeMutablePointer<UInt64>.allocate(capacity: max(1, call.arguments.count))
    places.initialize(repeating: 0, count: max(1, call.arguments.count))
    defer { places.deallocate() }
    for (index, (argument, expected)) in zip(call.arguments, spec.arguments).enumerated() {
      switch argument {
      case .out(let name):
        if case .out(let type) = expected.type, let before = frame[name.text] { places[index] = type.word(before) ?? 0 }
        words.append(UInt64(UInt(bitPattern: places + index)))
      case .value(let expression): words += try self.words(expression, expected, of: spec, frame)
      }
    }
    if words.count == 1 { [debts, kept].forEach { $0.settle(spec.name, UInt(words[0])) } }
    let outcome = function.call(words)
    var outs: [String: NativeValue] = [:]
    for (index, (argument, expected)) in zip(call.arguments, spec.arguments).enumerated() {
      guard case .out(let name) = argument, case .out(let type) = expected.type else { continue }
      let given = type.value(type.load(places + index))
      try assign(given, to: name, frame)
      outs[expected.name] = given
      if type == .pointer, spec.returns != .pointer, outs.count == 1, case .pointer(let address) = given {
        owe(spec, address, keep.contains(name.text))
      }
    }
    if let failure = frame.takeFailure() { throw failure }
    let value = spec.returns.value(outcome.raw)
    guard spec.isGood(outcome) else { throw failed(spec, outcome, words, outs) }
    if spec.returns == .pointer, case .pointer(let address) = value { owe(spec, address, into.map { keep.contains($0.text) } ?? false) }
    let isEnd = if case .number(let number) = value { spec.ends.contains(number) } else { false }
    return (value, isEnd)
  }

  private func owe(_ spec: PluginDescriptor.Function, _ address: UInt, _ isKept: Bool) {
    guard let free = spec.free, let function = try? library.function(free) else { return }
    (isKept ? kept : debts).add(function, address)
  }

  /// An argument as the words that C passes.
  private func words(
    _ expression: NativeStep.Expression, _ argument: PluginDescriptor.Argument, of spec: PluginDescriptor.Function, _ frame: NativeStepFrame
  ) throws -> [UInt64] {
    if argument.type == .callback {
      guard case .name(let path) = expression.kind else { return [0] }
      return [UInt64(UInt(bitPattern: try callback(path.joined(separator: "."), frame).address))]
    }
    let value = try self.value(expression, frame)
    switch (argument.type, value) {
    case (.cstring, .text(let text)):
      guard let copy = strdup(text) else { throw FerryError(.internal, "no memory for a text") }
      texts.append(copy)
      return [UInt64(UInt(bitPattern: copy))]
    case (.buffer, .buffer(let buffer, let count)): return [UInt64(UInt(bitPattern: buffer.bytes)), UInt64(count)]
    case (.buffer, .text(let text)):
      guard let copy = strdup(text) else { throw FerryError(.internal, "no memory for a text") }
      texts.append(copy)
      return [UInt64(UInt(bitPattern: copy)), UInt64(text.utf8.count)]
    default:
      guard let word = argument.type.word(value) else {
        throw FerryError(.invalid, "'\(argument.name)' of \(spec.name) cannot be \(value.words.isEmpty ? "nothing" : value.words)")
      }
      return [word]
    }
  }

  private func failed(
    _ spec: PluginDescriptor.Function, _ outcome: NativeFunction.Outcome, _ words: [UInt64], _ outs: [String: NativeValue]
  ) -> FerryError {
    let result = spec.returns.value(outcome.raw)
    switch spec.error {
    case .errno:
      var error = FerryError(errno: outcome.errno, "\(spec.name) failed", hint: spec.hint)
      if spec.class != .io { error.class = spec.class }
      return error
    case .call(let call):
      // The failed call's arguments, by their names: plain words are passed on as they were.
      var names = outs
      names["result"] = result
      var index = 0
      for argument in spec.arguments {
        if names[argument.name] == nil {
          names[argument.name] = argument.type == .cstring ? .pointer(UInt(words[index])) : argument.type.value(words[index])
        }
        index += argument.type.foreign.count
      }
      let frame = NativeStepFrame(names)
      let said = (try? self.call(call, nil, frame))?.value.words ?? ""
      return FerryError(spec.class, "\(spec.name) failed: \(said.isEmpty ? "it returned \(result.words)" : said)", hint: spec.hint)
    case nil:
      let what = outcome.raw == 0 && result.words.isEmpty ? "NULL" : result.words
      return FerryError(spec.class, "\(spec.name) failed: it returned \(what)", hint: spec.hint)
    }
  }

  // MARK: Callbacks

  private func callback(_ name: String, _ frame: NativeStepFrame) throws -> NativeCallback {
    if let known = callbacks[name] { return known }
    guard let spec = library.descriptor.callbacks[name] else { throw FerryError(.internal, "there is no callback '\(name)'") }
    // The callback dies with the runner, which it therefore must not hold.
    let made = try NativeCallback(spec) { [unowned self, unowned frame] arguments in
      let values = Dictionary(zip(spec.arguments.map(\.name), arguments)) { first, _ in first }
      let inner = NativeStepFrame(values, outer: frame)
      do {
        try perform(spec.steps, inner)
        return try spec.result.map { try value($0, inner) } ?? .number(0)
      } catch {
        frame.fail(FerryError.wrap(error))
        return (try? (spec.failed ?? spec.result).map { try value($0, inner) }) ?? .number(0)
      }
    }
    callbacks[name] = made
    return made
  }

  // MARK: Values

  private func value(_ expression: NativeStep.Expression, _ frame: NativeStepFrame) throws -> NativeValue {
    switch expression.kind {
    case .number(let number): return .number(number)
    case .real(let number): return .real(number)
    case .null: return .null
    case .text(let parts):
      return .text(
        try parts.map { part in
          switch part {
          case .plain(let text): text
          case .value(let inner): try value(inner, frame).words
          }
        }.joined())
    case .slice(let name, let count):
      guard case .buffer(let buffer, _)? = frame[name.text], case .number(let count) = try value(count, frame) else {
        throw FerryError(.internal, "'\(name.text)' is no buffer")
      }
      guard (0...Int64(buffer.capacity)).contains(count) else {
        throw FerryError(.internal, "\(name.text) has \(buffer.capacity) bytes, and \(count) of them were wanted")
      }
      return .buffer(buffer, count: Int(count))
    case .name(let path):
      if path.count == 1 {
        if let known = frame[path[0]] { return known }
        // A name that is set in a branch that was not taken, or is kept and not yet there.
        return NativeStepChecker.counters.contains(path[0]) ? .number(0) : .null
      }
      return try resolve(path)
    }
  }
}
