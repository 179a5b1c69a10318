import FerrySystem

/// A library of somebody else's as a plugin: its functions as C has them, and the steps that each ability of a provider is made of.
struct PluginDescriptor: Sendable {
  var module: PluginModule
  var functions: [String: Function]
  var callbacks: [String: Callback]
  var oneOffs: [String: OneOff]
  var providers: [String: Provider]

  /// A function of a library.
  struct Function: Sendable {
    var name: String
    var symbol: String
    var library: String
    var arguments: [Argument]
    /// How many of the arguments, at the end, are variadic; nil: the function takes a fixed number.
    var variadic: Int?
    var returns: NativeType = .void
    var success: Success = .any
    /// Results that say that there is no more: they end a `while` and are no error.
    var ends: [Int64] = []
    var error: ErrorText?
    var `class`: ErrorClass = .io
    var hint = ""
    /// The function that lets go of what this one gave.
    var free: String?
  }

  struct Argument: Hashable, Sendable {
    var name: String
    var type: NativeType
  }

  /// How a result tells that it worked.
  enum Success: String, CaseIterable, Sendable {
    case any, zero, nonzero, nonnegative, positive, nonnull, errno
  }

  /// Where an error's words come from.
  enum ErrorText: Sendable {
    case errno
    /// A call with the failed one's arguments, or its `result`.
    case call(NativeStep.Call)
  }

  /// A function that a library calls.
  struct Callback: Sendable {
    var name: String
    var arguments: [Argument]
    var returns: NativeType = .void
    var steps: [NativeStep]
    /// What it returns; zero unless told.
    var result: NativeStep.Expression?
    /// What it returns once something has failed.
    var failed: NativeStep.Expression?
  }

  /// Steps that belong to no item.
  struct OneOff: Sendable {
    var values: [Argument]
    var steps: [NativeStep]
  }

  /// What is moved, if it has a place of its own: Ferry then fills it under a private name and gives it its name, or undoes that.
  struct Place: Sendable {
    enum Kind: String, Sendable { case folder, file }
    var kind: Kind
    var path: NativeStep.Expression
  }

  struct Provider: Sendable {
    var id: String
    var place: Place?
    /// Names whose values live as long as the host.
    var keep: Set<String> = []
    var abilities: [ProviderCall: [NativeStep]]
  }
}

/// One step of an ability, with the place where it is written.
indirect enum NativeStep: Sendable {
  case call(Call, into: Name?)
  case assign(Name, adds: Bool, Expression)
  /// Again and again, until the call's result says that there is no more.
  case loop(Call, into: Name?, [NativeStep])
  case when(Expression, [NativeStep])
  /// With a folder as the process's own.
  case inside(Expression, [NativeStep])

  struct Name: Hashable, Sendable {
    var text: String
    var mark: Mark
  }

  struct Call: Sendable {
    var function: Name
    var arguments: [Argument]
  }

  enum Argument: Sendable {
    case value(Expression)
    /// `&name`: what the function puts there becomes the name's value.
    case out(Name)

    var mark: Mark {
      switch self {
      case .value(let expression): expression.mark
      case .out(let name): name.mark
      }
    }
  }

  struct Expression: Sendable {
    indirect enum Kind: Sendable {
      case number(Int64)
      case real(Double)
      case null
      /// A text, with `${name}` in it.
      case text([Part])
      /// A name, or a path of them.
      case name([String])
      /// The first bytes of a buffer.
      case slice(Name, Expression)
    }
    enum Part: Sendable {
      case plain(String)
      case value(Expression)
    }

    var kind: Kind
    var mark: Mark
  }
}
