#include "net/dns_message.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/strings.h"

namespace mail::net {
namespace {

constexpr std::size_t kHeaderOctets = 12;
constexpr std::size_t kMostNameOctets = 255;
constexpr unsigned kClassInternet = 1;

struct Record {
  std::string owner;
  unsigned type = 0;
  std::uint32_t ttl = 0;
  std::size_t at = 0;  // of the data in the message: names in it may point elsewhere
  std::size_t octets = 0;
};

/// Reads a message front to back; every step says whether the octets were there.
class Reader {
 public:
  explicit Reader(std::string_view octets, std::size_t at = 0) : octets_(octets), at_(at) {}
  std::size_t at() const { return at_; }
  bool skip(std::size_t count) {
    if (count > octets_.size() - at_) return false;
    at_ += count;
    return true;
  }
  bool take(unsigned octets, std::uint32_t& to) {
    if (octets > octets_.size() - at_) return false;
    to = 0;
    for (unsigned i = 0; i < octets; ++i) to = to << 8U | static_cast<unsigned char>(octets_[at_++]);
    return true;
  }
  bool take_name(std::string& to);

 private:
  std::string_view octets_;
  std::size_t at_;
};

void append_label(std::string& to, std::string_view label) {
  constexpr std::string_view kDigits = "0123456789";
  if (!to.empty()) to += '.';
  for (const char c : label) {
    const auto value = static_cast<unsigned char>(c);
    if (c == '.' || c == '\\') {
      to += {'\\', c};
    } else if (value <= 0x20 || value >= 0x7f) {  // RFC 1035 section 5.1: \DDD
      to += {'\\', kDigits[value / 100], kDigits[value / 10 % 10], kDigits[value % 10]};
    } else {
      to += ascii_lower(c);
    }
  }
}

bool Reader::take_name(std::string& to) {
  to.clear();
  std::size_t at = at_;
  std::size_t wire_octets = 0;
  bool jumped = false;
  for (;;) {
    if (at >= octets_.size()) return false;
    const unsigned length = static_cast<unsigned char>(octets_[at]);
    if ((length & 0xc0U) == 0xc0) {
      if (at + 1 >= octets_.size()) return false;
      const std::size_t target = (length & 0x3fU) << 8U | static_cast<unsigned char>(octets_[at + 1]);
      if (!jumped) at_ = at + 2;
      if (target >= at) return false;  // pointers go back only, so there is no loop
      jumped = true;
      at = target;
      continue;
    }
    if (length > 63 || length >= octets_.size() - at) return false;
    wire_octets += length + 1;
    if (wire_octets > kMostNameOctets) return false;
    if (length == 0) {
      if (!jumped) at_ = at + 1;
      return true;
    }
    append_label(to, octets_.substr(at + 1, length));
    at += length + 1;
  }
}

std::optional<Record> take_record(Reader& reader) {
  Record record;
  std::uint32_t type = 0;
  std::uint32_t in_class = 0;
  std::uint32_t octets = 0;
  if (!reader.take_name(record.owner) || !reader.take(2, type) || !reader.take(2, in_class) ||
      !reader.take(4, record.ttl) || !reader.take(2, octets))
    return std::nullopt;
  record.type = in_class == kClassInternet ? type : 0;
  record.at = reader.at();
  record.octets = octets;
  if (!reader.skip(octets)) return std::nullopt;
  return record;
}

std::optional<std::string> name_at(std::string_view message, std::size_t at) {
  Reader reader(message, at);
  std::string name;
  if (!reader.take_name(name)) return std::nullopt;
  return name;
}

/// The strings of one TXT record joined; a count that leads beyond the record ends it.
std::string joined_strings(std::string_view data) {
  std::string out;
  while (!data.empty()) {
    const std::size_t octets = std::min<std::size_t>(static_cast<unsigned char>(data[0]), data.size() - 1);
    out.append(data.substr(1, octets));
    data.remove_prefix(octets + 1);
  }
  return out;
}

/// False: its data is not what the type has.
bool add_record(DnsAnswer& answer, DnsType type, const Record& record, std::string_view message) {
  const auto data = message.substr(record.at, record.octets);
  switch (type) {
    case DnsType::a:
      if (data.size() != 4) return false;
      answer.addresses.push_back(IpAddress::v4(data.data()));
      break;
    case DnsType::aaaa:
      if (data.size() != 16) return false;
      answer.addresses.push_back(IpAddress::v6(data.data()));
      break;
    case DnsType::mx: {
      if (data.size() < 3) return false;
      const auto preference =
          static_cast<std::uint16_t>(static_cast<unsigned char>(data[0]) << 8U | static_cast<unsigned char>(data[1]));
      auto name = name_at(message, record.at + 2);
      if (!name) return false;
      answer.mx.push_back({preference, std::move(*name)});
      break;
    }
    case DnsType::ptr:
    case DnsType::cname: {
      auto name = name_at(message, record.at);
      if (!name) return false;
      answer.texts.push_back(std::move(*name));
      break;
    }
    case DnsType::txt:
      answer.texts.push_back(joined_strings(data));
      break;
    case DnsType::tlsa:
      if (data.size() < 3) return false;
      answer.tlsa.push_back({static_cast<std::uint8_t>(data[0]), static_cast<std::uint8_t>(data[1]),
                             static_cast<std::uint8_t>(data[2]), std::string(data.substr(3))});
      break;
  }
  return true;
}

struct Header {
  unsigned reply_code = 0;
  bool authentic = false;
  std::uint32_t questions = 0, answers = 0;
};

std::optional<Header> take_header(Reader& reader) {
  std::uint32_t id = 0;
  std::uint32_t flags = 0;
  Header header;
  if (!reader.take(2, id) || !reader.take(2, flags) || !reader.take(2, header.questions) ||
      !reader.take(2, header.answers) || !reader.skip(kHeaderOctets - 8) || (flags & 0x8000U) == 0)
    return std::nullopt;
  header.reply_code = flags & 15U;
  header.authentic = (flags & 0x20U) != 0;
  for (std::uint32_t i = 0; i < header.questions; ++i) {
    std::string name;
    if (!reader.take_name(name) || !reader.skip(4)) return std::nullopt;
  }
  return header;
}

}  // namespace

std::string_view to_string(DnsType type) {
  switch (type) {
    case DnsType::a:
      return "A";
    case DnsType::aaaa:
      return "AAAA";
    case DnsType::cname:
      return "CNAME";
    case DnsType::mx:
      return "MX";
    case DnsType::ptr:
      return "PTR";
    case DnsType::tlsa:
      return "TLSA";
    case DnsType::txt:
      return "TXT";
  }
  return "?";
}

std::optional<std::string> normal_name(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.size() > kMostNameOctets - 2) return std::nullopt;
  for (const auto label : split(name, '.'))
    if (label.empty() || label.size() > 63) return std::nullopt;
  for (const char c : name)
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f || c == '\\')
      return std::nullopt;
  return to_lower(name);
}

DnsResult parse_dns_answer(std::string_view octets, DnsType type, std::string_view name, const DnsLimits& limits) {
  const auto what = concat({to_string(type), " ", printable(name), ": "});
  Reader reader(octets);
  const auto header = take_header(reader);
  if (!header) return fail(Error::Kind::temporary, what + "malformed answer");
  if (header->reply_code == 3) return fail(Error::Kind::not_found, what + "NXDOMAIN");
  if (header->reply_code != 0)
    return fail(Error::Kind::temporary, what + "server failure " + decimal(header->reply_code));

  std::vector<Record> records;
  std::map<std::string, std::string> aliases;
  for (std::uint32_t i = 0; i < header->answers && records.size() < limits.records; ++i) {
    auto record = take_record(reader);
    if (!record) return fail(Error::Kind::temporary, what + "malformed record");
    if (record->type == static_cast<unsigned>(DnsType::cname) && type != DnsType::cname) {
      auto target = name_at(octets, record->at);
      if (target) aliases[record->owner] = std::move(*target);
    } else if (record->type == static_cast<unsigned>(type)) {
      records.push_back(std::move(*record));
    }
  }

  DnsAnswer answer;
  answer.authentic = header->authentic;
  answer.canonical_name = name;
  for (unsigned steps = 0; aliases.contains(answer.canonical_name); ++steps) {
    if (steps >= limits.cnames) return fail(Error::Kind::permanent, what + "CNAME chain too long, or a loop");
    answer.canonical_name = aliases[answer.canonical_name];
  }
  std::uint32_t ttl = 0xffffffffU;
  bool found = false;
  for (const auto& record : records) {
    if (record.owner != answer.canonical_name) continue;  // what was not asked for is not believed
    if (!add_record(answer, type, record, octets)) return fail(Error::Kind::temporary, what + "malformed record");
    ttl = std::min(ttl, record.ttl);
    found = true;
  }
  if (!found) return fail(Error::Kind::not_found, what + "no such record");
  std::ranges::stable_sort(answer.mx, {}, &MxRecord::preference);
  answer.ttl = std::chrono::seconds(ttl);
  return answer;
}

}  // namespace mail::net
