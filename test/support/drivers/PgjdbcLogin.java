import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Properties;

/** Logs in by pgjdbc at the URL of the arguments with each user and password that follow, and prints who the server says it is, or the error. */
public class PgjdbcLogin {
  public static void main(String[] args) {
    for (int at = 1; at + 1 < args.length; at += 2) {
      Properties who = new Properties();
      who.setProperty("user", args[at]);
      who.setProperty("password", args[at + 1]);
      try (Connection connection = DriverManager.getConnection(args[0], who);
          ResultSet rows = connection.createStatement().executeQuery("select session_user")) {
        rows.next();
        System.out.println(rows.getString(1));
      } catch (SQLException error) {
        System.out.println(error.getSQLState() + " " + error.getMessage().split("\n")[0]);
      }
    }
  }
}
