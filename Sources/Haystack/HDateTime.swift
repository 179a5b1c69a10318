/// A day of the Gregorian calendar.
public struct HDate: Sendable, Hashable, Comparable {
  /// 0 to 9999.
  public let year: Int
  /// 1 to 12.
  public let month: Int
  /// 1 to 31.
  public let day: Int

  /// A date; nil if the calendar has none such.
  public init?(year: Int, month: Int, day: Int) {
    guard (0...9999).contains(year), (1...12).contains(month), day >= 1, day <= Self.days(in: month, of: year) else { return nil }
    self.year = year
    self.month = month
    self.day = day
  }

  static func days(in month: Int, of year: Int) -> Int {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// Days since 1970-01-01. The year begins in March here, so that the leap day comes last.
  public var daysSinceEpoch: Int {
    let year = month <= 2 ? year - 1 : year
    let era = (year >= 0 ? year : year - 399) / 400
    let ofEra = year - era * 400
    let ofYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    return era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719_468
  }

  /// The day so many days after 1970-01-01; nil outside of the years 0 to 9999.
  public init?(daysSinceEpoch days: Int) {
    guard abs(days) < 4_000_000 else { return nil }
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let ofEra = shifted - era * 146_097
    let yearOfEra = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
    let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * ofYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    self.init(
      year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month: month, day: ofYear - (153 * shiftedMonth + 2) / 5 + 1)
  }

  /// By the calendar.
  public static func < (left: HDate, right: HDate) -> Bool {
    (left.year, left.month, left.day) < (right.year, right.month, right.day)
  }
}

/// A time of day.
public struct HTime: Sendable, Hashable, Comparable {
  /// Nanoseconds since midnight.
  public let nanoseconds: Int64

  /// A time; nil if no clock shows it.
  public init?(hour: Int, minute: Int, second: Int, nanosecond: Int = 0) {
    guard (0...23).contains(hour), (0...59).contains(minute), (0...59).contains(second), (0...999_999_999).contains(nanosecond) else {
      return nil
    }
    nanoseconds = Int64((hour * 60 + minute) * 60 + second) * 1_000_000_000 + Int64(nanosecond)
  }

  /// A time; nil if it is not within a day.
  public init?(nanoseconds: Int64) {
    guard (0..<86_400_000_000_000).contains(nanoseconds) else { return nil }
    self.nanoseconds = nanoseconds
  }

  /// By the clock.
  public static func < (left: HTime, right: HTime) -> Bool { left.nanoseconds < right.nanoseconds }
}

/// A moment, with the offset and the name of the zone that it was written in.
public struct HDateTime: Sendable {
  /// Nanoseconds since 1970 in UTC: the years 1678 to 2262, as in the original's own timestamps.
  public let nanoseconds: Int64
  /// Seconds east of UTC.
  public let offset: Int
  /// The city's name (`New_York`), `UTC`, or empty where the text named none.
  public let zone: String

  /// A moment; nil if it is out of range.
  public init?(date: HDate, time: HTime, offset: Int, zone: String) {
    guard abs(offset) < 86_400 else { return nil }
    let seconds = Int64(date.daysSinceEpoch) * 86_400 - Int64(offset)
    let (scaled, over) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, beyond) = scaled.addingReportingOverflow(time.nanoseconds)
    guard !over, !beyond else { return nil }
    self.init(nanoseconds: sum, offset: offset, zone: zone)
  }

  /// A moment.
  public init(nanoseconds: Int64, offset: Int = 0, zone: String = "UTC") {
    self.nanoseconds = nanoseconds
    self.offset = offset
    self.zone = zone
  }

  /// Date and time as the zone's clock showed them.
  public var local: (date: HDate, time: HTime)? {
    let day: Int64 = 86_400_000_000_000
    let (shifted, over) = nanoseconds.addingReportingOverflow(Int64(offset) * 1_000_000_000)
    guard !over else { return nil }
    let (days, rest) = shifted.quotientAndRemainder(dividingBy: day)
    let borrow: Int64 = rest < 0 ? 1 : 0
    guard let date = HDate(daysSinceEpoch: Int(days - borrow)), let time = HTime(nanoseconds: rest + borrow * day) else { return nil }
    return (date, time)
  }
}
