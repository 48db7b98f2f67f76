// pgjdbc's replication interface, as Debezium and others use it: each case prints its result as JSON. Positions and numbers of transactions
// differ from run to run, and are left out.
import java.nio.ByteBuffer;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import org.postgresql.PGConnection;
import org.postgresql.PGProperty;
import org.postgresql.replication.LogSequenceNumber;
import org.postgresql.replication.PGReplicationStream;
import org.postgresql.replication.ReplicationSlotInfo;

public class PgjdbcReplication {
  private static final long PATIENCE_MS = 20_000;
  private static final String URL = env("URL");
  private static final String SLOT = env("SLOT");
  private static final String TABLE = env("TABLE");

  /** What came last, for an error. */
  private static String last = "nothing";

  private interface Case {
    Object run() throws Exception;
  }

  private static String env(String name) {
    return System.getenv(name);
  }

  private static Connection connect(boolean replicating) throws SQLException {
    Properties properties = new Properties();
    PGProperty.USER.set(properties, env("PGUSER"));
    PGProperty.PASSWORD.set(properties, env("PGPASSWORD"));
    if (replicating) {
      PGProperty.REPLICATION.set(properties, "database");
      PGProperty.ASSUME_MIN_SERVER_VERSION.set(properties, "9.4");
      PGProperty.PREFER_QUERY_MODE.set(properties, "simple");
    }
    return DriverManager.getConnection(URL, properties);
  }

  private static void change(String... texts) throws SQLException {
    try (Connection plain = connect(false); Statement statement = plain.createStatement()) {
      for (String text : texts) statement.execute(text);
    }
  }

  private static String one(Connection connection, String text) throws SQLException {
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(text)) {
      if (!rows.next()) return null;
      return rows.getString(1);
    }
  }

  private static byte[] next(PGReplicationStream stream) throws Exception {
    long until = System.currentTimeMillis() + PATIENCE_MS;
    while (System.currentTimeMillis() < until) {
      ByteBuffer buffer = stream.readPending();
      if (buffer != null) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        last = bytes.length > 60 ? bytes.length + " bytes" : new String(bytes);
        return bytes;
      }
      Thread.sleep(5);
    }
    throw new IllegalStateException("nothing came behind " + last);
  }

  private static List<String> decoded(PGReplicationStream stream, int commits) throws Exception {
    List<String> said = new ArrayList<>();
    for (int seen = 0; seen < commits; ) {
      String text = new String(next(stream));
      said.add(text);
      if (text.startsWith("COMMIT")) seen += 1;
    }
    return said;
  }

  private static PGReplicationStream start(PGConnection pg, String slot) throws SQLException {
    return pg.getReplicationAPI()
        .replicationStream()
        .logical()
        .withSlotName(slot)
        .withSlotOption("include-xids", false)
        .withSlotOption("skip-empty-xacts", true)
        .withStatusInterval(1, TimeUnit.SECONDS)
        .start();
  }

  private static Object testDecoding() throws Exception {
    List<Object> said = new ArrayList<>();
    try (Connection connection = connect(true)) {
      PGConnection pg = connection.unwrap(PGConnection.class);
      ReplicationSlotInfo slot = pg.getReplicationAPI()
          .createReplicationSlot()
          .logical()
          .withSlotName(SLOT)
          .withOutputPlugin("test_decoding")
          .make();
      said.add(slot.getSlotName() + " " + slot.getOutputPlugin() + " " + slot.getReplicationType());
      PGReplicationStream stream = start(pg, SLOT);
      change(
          "insert into " + TABLE + " values (1, repeat('x', 100000)), (2, 'grün')",
          "update " + TABLE + " set t = 'other' where n = 2",
          "delete from " + TABLE + " where n = 1");
      said.addAll(decoded(stream, 3));
      LogSequenceNumber received = stream.getLastReceiveLSN();
      stream.setAppliedLSN(received);
      stream.setFlushedLSN(received);
      stream.forceUpdateStatus();
      said.add(confirmed(received));
      stream.close();
      said.add(stream.isClosed());
      // The same connection goes on with commands.
      said.add(one(connection, "show extra_float_digits"));
      said.add(one(connection, "IDENTIFY_SYSTEM") != null);
    }
    change("insert into " + TABLE + " values (3, null)");
    // Another one goes on where this one was.
    try (Connection connection = connect(true)) {
      PGReplicationStream again = start(connection.unwrap(PGConnection.class), SLOT);
      said.addAll(decoded(again, 1));
      again.close();
    }
    return said;
  }

  /** Whether the server has heard of it. */
  private static boolean confirmed(LogSequenceNumber position) throws Exception {
    String text = "select confirmed_flush_lsn >= '" + position.asString() + "' from pg_replication_slots where slot_name = '" + SLOT + "'";
    long until = System.currentTimeMillis() + PATIENCE_MS;
    try (Connection plain = connect(false)) {
      while (System.currentTimeMillis() < until) {
        if ("t".equals(one(plain, text))) return true;
        Thread.sleep(5);
      }
    }
    return false;
  }

  private static Object pgoutput() throws Exception {
    StringBuilder kinds = new StringBuilder();
    try (Connection connection = connect(true)) {
      PGConnection pg = connection.unwrap(PGConnection.class);
      String name = SLOT + "_output";
      pg.getReplicationAPI()
          .createReplicationSlot()
          .logical()
          .withSlotName(name)
          .withOutputPlugin("pgoutput")
          .withTemporaryOption()
          .make();
      PGReplicationStream stream = pg.getReplicationAPI()
          .replicationStream()
          .logical()
          .withSlotName(name)
          .withSlotOption("proto_version", 1)
          .withSlotOption("publication_names", TABLE)
          .start();
      change("insert into " + TABLE + " values (4, 'four')", "truncate " + TABLE);
      for (int commits = 0; commits < 2; ) {
        char kind = (char) next(stream)[0];
        kinds.append(kind);
        if (kind == 'C') commits += 1;
      }
      stream.close();
    }
    return kinds.toString();
  }

  private static Object physical() throws Exception {
    try (Connection connection = connect(true)) {
      PGConnection pg = connection.unwrap(PGConnection.class);
      LogSequenceNumber from;
      try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery("IDENTIFY_SYSTEM")) {
        rows.next();
        from = LogSequenceNumber.valueOf(rows.getString("xlogpos"));
      }
      PGReplicationStream stream = pg.getReplicationAPI().replicationStream().physical().withStartPosition(from).start();
      change("insert into " + TABLE + " values (5, 'five')");
      boolean some = next(stream).length > 0;
      stream.close();
      return some;
    }
  }

  private static Object errors() throws Exception {
    List<Object> said = new ArrayList<>();
    try (Connection connection = connect(true)) {
      PGConnection pg = connection.unwrap(PGConnection.class);
      try {
        start(pg, SLOT + "_none");
      } catch (SQLException error) {
        said.add(error.getSQLState() + " " + error.getMessage());
      }
      try {
        one(connection, "NO SUCH COMMAND");
      } catch (SQLException error) {
        said.add(error.getSQLState());
      }
      said.add(one(connection, "select 1"));
      pg.getReplicationAPI().dropReplicationSlot(SLOT);
    }
    try (Connection plain = connect(false)) {
      said.add(one(plain, "select count(*) from pg_replication_slots where slot_name like '" + SLOT + "%'"));
    }
    return said;
  }

  private static String json(Object value) {
    if (value instanceof List) {
      List<String> items = new ArrayList<>();
      for (Object item : (List<?>) value) items.add(json(item));
      return "[" + String.join(",", items) + "]";
    }
    if (value == null || value instanceof Boolean) return String.valueOf(value);
    String text = value.toString();
    // A long value counts by its length.
    if (text.length() > 1000) text = text.substring(0, 60) + " and more, " + text.length();
    return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + "\"";
  }

  private static void print(String name, Case which) {
    String said;
    try {
      said = "\"result\":" + json(which.run());
    } catch (Throwable error) {
      said = "\"error\":" + json(error.toString());
    }
    System.out.println("{\"case\":\"" + name + "\"," + said + "}");
  }

  public static void main(String[] args) {
    print("test_decoding", PgjdbcReplication::testDecoding);
    print("pgoutput", PgjdbcReplication::pgoutput);
    print("physical", PgjdbcReplication::physical);
    print("errors", PgjdbcReplication::errors);
  }
}
