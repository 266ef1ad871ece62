#include "imapd/compression.h"

#include <zlib.h>

#include <new>

namespace mail::imapd {
namespace {
constexpr std::size_t kPiece = 64 * 1024;
constexpr int kRaw = -15;  // without zlib's header
Bytef* octets_of(std::string_view text) { return reinterpret_cast<Bytef*>(const_cast<char*>(text.data())); }
}  // namespace

struct Compression::Streams {
  z_stream in{};
  z_stream out{};
};

Compression::Compression() : streams_(std::make_unique<Streams>()) {
  if (inflateInit2(&streams_->in, kRaw) != Z_OK) throw std::bad_alloc();
  if (deflateInit2(&streams_->out, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kRaw, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    inflateEnd(&streams_->in);
    throw std::bad_alloc();
  }
}

Compression::~Compression() {
  inflateEnd(&streams_->in);
  deflateEnd(&streams_->out);
}

std::string Compression::deflate(std::string_view octets) {
  std::string out;
  auto& stream = streams_->out;
  stream.next_in = octets_of(octets);
  stream.avail_in = static_cast<uInt>(octets.size());
  do {
    const auto before = out.size();
    out.resize(before + kPiece);
    stream.next_out = octets_of(std::string_view(out).substr(before));
    stream.avail_out = kPiece;
    ::deflate(&stream, Z_SYNC_FLUSH);
    out.resize(before + kPiece - stream.avail_out);
  } while (stream.avail_out == 0);
  return out;
}

Result<std::string> Compression::inflate_some() {
  std::string out(kPiece, '\0');
  auto& stream = streams_->in;
  stream.next_in = octets_of(input_);
  stream.avail_in = static_cast<uInt>(input_.size());
  stream.next_out = octets_of(out);
  stream.avail_out = kPiece;
  const int result = inflate(&stream, Z_SYNC_FLUSH);
  if (result != Z_OK && result != Z_BUF_ERROR && result != Z_STREAM_END)
    return fail(Error::Kind::syntax, "Compressed data is damaged");
  input_.erase(0, input_.size() - stream.avail_in);
  if (input_.empty()) input_.shrink_to_fit();
  out.resize(kPiece - stream.avail_out);
  return out;
}

}  // namespace mail::imapd
