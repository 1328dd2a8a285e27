/** Numbers of the NBD protocol, in the words of its specification (proto.md), and the limits of this server. */

/** "NBDMAGIC" and "IHAVEOPT". */
export const INIT_MAGIC: Buffer = Buffer.from('NBDMAGIC', 'latin1');
export const OPTION_MAGIC: Buffer = Buffer.from('IHAVEOPT', 'latin1');
export const OPTION_REPLY_MAGIC: Buffer = Buffer.from('0003e889045565a9', 'hex');
export const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;

/** Handshake flags, of the server and of the client. */
export const FLAG_FIXED_NEWSTYLE = 1;
export const FLAG_NO_ZEROES = 2;

export const OPT_EXPORT_NAME = 1;
export const OPT_ABORT = 2;
export const OPT_LIST = 3;
export const OPT_STARTTLS = 5;
export const OPT_INFO = 6;
export const OPT_GO = 7;
export const OPT_STRUCTURED_REPLY = 8;
export const OPT_LIST_META_CONTEXT = 9;
export const OPT_SET_META_CONTEXT = 10;

export const REP_ACK = 1;
export const REP_SERVER = 2;
export const REP_INFO = 3;
export const REP_META_CONTEXT = 4;
export const REP_ERR_UNSUP = 0x80000001;
export const REP_ERR_INVALID = 0x80000003;
export const REP_ERR_UNKNOWN = 0x80000006;
export const REP_ERR_TOO_BIG = 0x80000009;

export const INFO_EXPORT = 0;
export const INFO_NAME = 1;
export const INFO_DESCRIPTION = 2;
export const INFO_BLOCK_SIZE = 3;

/** Transmission flags. */
export const HAS_FLAGS = 1;
export const READ_ONLY = 2;
export const SEND_DF = 0x80;
export const CAN_MULTI_CONN = 0x100;
export const SEND_CACHE = 0x400;

export const CMD_READ = 0;
export const CMD_WRITE = 1;
export const CMD_DISC = 2;
export const CMD_TRIM = 4;
export const CMD_CACHE = 5;
export const CMD_WRITE_ZEROES = 6;
export const CMD_BLOCK_STATUS = 7;
export const CMD_FLAG_FUA = 1;
export const CMD_FLAG_NO_HOLE = 2;
export const CMD_FLAG_DF = 4;
export const CMD_FLAG_REQ_ONE = 8;
export const CMD_FLAG_FAST_ZERO = 16;

export const REPLY_FLAG_DONE = 1;
export const REPLY_NONE = 0;
export const REPLY_OFFSET_DATA = 1;
export const REPLY_OFFSET_HOLE = 2;
export const REPLY_BLOCK_STATUS = 5;
export const REPLY_ERROR = 0x8001;
export const REPLY_ERROR_OFFSET = 0x8002;

export const EPERM = 1;
export const EIO = 5;
export const EINVAL = 22;

/** Flags of base:allocation. */
export const STATE_HOLE = 1;
export const STATE_ZERO = 2;

/** Bytes of a request's header. */
export const REQUEST_BYTES = 28;
/** Largest read that is answered, and largest write whose payload is passed over to refuse it. */
export const MAX_REQUEST = 32 * 1024 * 1024;
/** What clients are told to prefer. */
export const PREFERRED_BLOCK = 4096;
/** Option data that is looked at; what is longer is passed over, and longer still cuts the connection. */
export const MAX_OPTION = 16 * 1024;
export const MAX_PASSED_OPTION = 1024 * 1024;
/** Options that one client may send before it starts. */
export const MAX_OPTIONS = 256;
/** Characters of an export's name, as the specification has it. */
export const MAX_NAME = 4096;
/** Queries in one option about contexts. */
export const MAX_QUERIES = 64;
/** Clients at once. */
export const MAX_CONNECTIONS = 64;
/** Answers under way for one client: requests, and bytes unless there is only one. */
export const MAX_IN_FLIGHT = 128;
export const MAX_BYTES_IN_FLIGHT = 2 * 1024 * 1024;
/** Extents in one answer to a question for block status, and looks at tables to find them. */
export const MAX_EXTENTS = 4096;
export const MAX_EXTENT_STEPS = 64;
/** Lost stretches that one reply names one by one. */
export const MAX_ERRORS_NAMED = 16;
/** Milliseconds: for the whole handshake, for the rest of a request that has begun, for an answer to be taken. */
export const HANDSHAKE_TIME = 15_000;
export const REQUEST_TIME = 30_000;
export const TAKE_TIME = 60_000;

/** A client that does not keep to the protocol, is too slow, or is gone: only its own connection ends. */
export class Cut extends Error {}
