//! FTPS: transfers whose negotiation nobody can read, and who else is let in by them: nobody.

mod matrix;
