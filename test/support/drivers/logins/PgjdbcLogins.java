// Logs in with pgjdbc in each way that the arguments name: way, port, user, password, CA, certificate, key. A JSON line for each.
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.util.Properties;

public class PgjdbcLogins {
  private static String json(String text) {
    return "\"" + String.valueOf(text).replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + "\"";
  }

  private static String login(String[] place) throws Exception {
    if (place[0].equals("channel binding")) throw new UnsupportedOperationException("it has none");
    Properties properties = new Properties();
    properties.setProperty("user", place[2]);
    if (!place[3].isEmpty()) properties.setProperty("password", place[3]);
    properties.setProperty("sslmode", "verify-full");
    properties.setProperty("sslrootcert", place[4]);
    if (place[0].equals("certificate")) {
      properties.setProperty("sslcert", place[5]);
      properties.setProperty("sslkey", place[6]);
    }
    String url = "jdbc:postgresql://localhost:" + place[1] + "/orders";
    try (Connection connection = DriverManager.getConnection(url, properties);
        ResultSet rows = connection.createStatement().executeQuery("select session_user")) {
      rows.next();
      return rows.getString(1);
    }
  }

  public static void main(String[] args) {
    System.out.println("{\"version\":" + json(org.postgresql.Driver.getVersion()) + "}");
    for (String arg : args) {
      String[] place = arg.split("\\|", -1);
      try {
        System.out.println("{\"way\":" + json(place[0]) + ",\"role\":" + json(login(place)) + "}");
      } catch (Exception error) {
        System.out.println("{\"way\":" + json(place[0]) + ",\"error\":" + json(error.getMessage()) + "}");
      }
    }
  }
}
