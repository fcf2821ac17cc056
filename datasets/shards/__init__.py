"""What lies in a data set: tars, their index, tables of samples, verification."""
