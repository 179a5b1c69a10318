import FerryEngineKit

/// What a container stands on at the destination: its image and its networks. Brought or made where they are not there.
struct ContainerFooting {
  let provider: ContainerProvider
  private var context: ProviderContext { provider.context }
  private var name: String { provider.config.endpoint.container }

  /// What the container is made from: the image's name, or its id where the name is another image's here.
  func image(_ greeting: ContainerWire.Greeting, _ record: inout ContainerRecord, _ bytes: inout Int64, on channel: Int32) throws
    -> String
  {
    let engine = try provider.engine()
    // An id, or a name with a digest, is nothing that can be given.
    let isName = !greeting.reference.hasPrefix("sha256:") && !greeting.reference.contains("@") && greeting.reference != greeting.image
    let named = isName ? try engine.findImage(greeting.reference) : nil
    if let named, named.layers == greeting.layers {
      try context.tell(ContainerWire.Need(present: nil), on: channel)
      return greeting.reference
    }
    var id = greeting.image
    if let found = try engine.findImage(id), found.layers == greeting.layers {
      try context.tell(ContainerWire.Need(present: nil), on: channel)
    } else {
      let present = try presentLayers(greeting.layers)
      record.image = id
      try record.write(context)
      try context.tell(ContainerWire.Need(present: present), on: channel)
      (id, bytes) = try ImageParcel.receive(greeting, without: present, by: engine, context, on: channel)
      record.image = id
      try record.write(context)
      context.log(
        .info, "the image \(greeting.reference): \(greeting.layers.count - present.count) of \(greeting.layers.count) layers came")
    }
    guard isName else { return id }
    if named != nil {
      context.log(.warning, "\(greeting.reference) is another image here; it stays, and \(name) is made from \(id)")
      return id
    }
    record.tag = greeting.reference
    try record.write(context)
    try engine.tag(id, as: greeting.reference)
    return greeting.reference
  }

  /// The lowest layers of the image that another image here has as well. A layer is one upon what lies below it.
  private func presentLayers(_ layers: [String]) throws -> Set<String> {
    var most = 0
    for image in try provider.engine().images() {
      most = max(most, zip(layers, image.layers).prefix { $0 == $1 }.count)
    }
    return Set(layers.prefix(most))
  }

  func makeNetworks(_ greeting: ContainerWire.Greeting, _ record: inout ContainerRecord) throws {
    let engine = try provider.engine()
    for network in greeting.networks {
      if let existing = try engine.network(network.name) {
        let (here, there) = (existing["Driver"]?.string ?? "", network.settings["Driver"]?.string ?? "")
        guard here == there else {
          throw FerryError(
            .conflict, "the network \(network.name) is of the driver '\(here)' here and of '\(there)' at the source",
            hint: "name another one with `to.networks`")
        }
        continue
      }
      if let obstacle = network.obstacle {
        throw FerryError(.precondition, "there is no network \(network.name) here, and it cannot be made: \(obstacle)")
      }
      record.networks.append(network.name)
      try record.write(context)
      let isFixed = greeting.definition.endpoints.contains { $0.network == network.name && $0.isFixed }
      do { try engine.createNetwork(network.body(withAddresses: true)) } catch {
        // Its addresses may be another network's here. Where nobody has asked for one of them, others do.
        if isFixed { throw error }
        try engine.createNetwork(network.body(withAddresses: false))
        context.log(.warning, "the network \(network.name) has other addresses here: \(FerryError.wrap(error).message)")
      }
    }
  }

  /// Undoes it. What others use stays.
  func remove(_ record: ContainerRecord) throws {
    let engine = try provider.engine()
    for network in record.networks { try engine.removeNetwork(network) }
    for image in [record.tag, record.image].compactMap({ $0 }) { try engine.removeImage(image) }
  }
}
